"""The acts of governance in a workspace model registry: stages, requests for them, comments.

Confirmed by databricks-sdk 0.162: paths and fields. Assumed: a transition to the stage that a version is in is done
again and told again; each version that `archive_existing_versions` archives is an act of its own; approving or
rejecting a request that is not open is refused as missing; `comments/list`.
"""

from __future__ import annotations

import uuid
from typing import Any

from aiohttp import web

from local.databricks_registry import MLFLOW, SOMEBODY, Registry, databricks_version
from local.databricks_registry_model import ACTIVE_STAGES, STAGES, Comment, Model, TransitionRequest, Version
from local.databricks_wire import fields_of, flag_of, invalid, missing, text_of

# which permission a transition to a stage takes
_LEVELS = {
    "None": "CAN_MANAGE_STAGING_VERSIONS",
    "Staging": "CAN_MANAGE_STAGING_VERSIONS",
    "Archived": "CAN_MANAGE_STAGING_VERSIONS",
    "Production": "CAN_MANAGE_PRODUCTION_VERSIONS",
}


class Stages(Registry):
    """Transitions, transition requests and comments."""

    def transition(
        self, name: str, version: str, stage: str, *, archive_existing_versions: bool = False, user: str = SOMEBODY
    ) -> None:
        """Let a person move a version to a stage, as the API does; webhooks tell of it."""
        model = self.models[name]
        moved = [model.versions[version]]
        if archive_existing_versions:
            others = [each for each in model.versions.values() if each.stage == stage and each.version != version]
            moved += others
        for each in moved:
            to_stage = stage if each.version == version else "Archived"
            from_stage, each.stage, each.updated = each.stage, to_stage, self.now()
            self.announce(
                "MODEL_VERSION_TRANSITIONED_STAGE",
                name,
                user,
                version=each.version,
                from_stage=from_stage,
                to_stage=to_stage,
            )

    def stage_routes(self) -> list[web.RouteDef]:
        """Stages, requests, comments."""
        requests, comments = f"{MLFLOW}/transition-requests", f"{MLFLOW}/comments"
        return [
            web.post(f"{MLFLOW}/databricks/model-versions/transition-stage", self._transition),
            web.post(f"{requests}/create", self._create_request),
            web.get(f"{requests}/list", self._list_requests),
            web.post(f"{requests}/approve", self._approve),
            web.post(f"{requests}/reject", self._reject),
            web.post(f"{comments}/create", self._create_comment),
            web.get(f"{comments}/list", self._list_comments),
            web.delete(f"{comments}/delete", self._delete_comment),
        ]

    async def _transition(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version, stage = self._stage_of(fields)
        self._move(model, version, stage, fields, self.user_of(request))
        return databricks_version(model, version)

    def _stage_of(self, fields: dict[str, Any], level: str = "") -> tuple[Model, Version, str]:
        wanted = text_of(fields, "stage")
        stage = next((stage for stage in STAGES if stage.lower() == wanted.lower()), None)
        if stage is None:
            raise invalid(f"Invalid Model Version stage: {wanted}. Value must be one of {', '.join(STAGES)}.")
        return *self.version_of(fields, level or _LEVELS[stage]), stage

    def _move(self, model: Model, version: Version, stage: str, fields: dict[str, Any], user: str) -> None:
        archive = flag_of(fields, "archive_existing_versions")
        if archive and stage not in ACTIVE_STAGES:
            raise invalid(f"Existing versions can't be archived in a transition to '{stage}'.")
        self.transition(model.name, version.version, stage, archive_existing_versions=archive, user=user)
        # a comment that comes with a transition is part of that activity, and no comment of its own

    async def _create_request(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version, stage = self._stage_of(fields, "CAN_READ")
        comment, user = str(fields.get("comment") or ""), self.user_of(request)
        wish = TransitionRequest(stage, user, comment, self.now())
        version.requests.append(wish)
        self.announce("TRANSITION_REQUEST_CREATED", model.name, user, version=version.version, to_stage=stage)
        return web.json_response({"request": wish.body()})

    async def _list_requests(self, request: web.Request) -> web.Response:
        _, version = self.version_of(await fields_of(request))
        return web.json_response({"requests": [wish.body() for wish in version.requests]})

    async def _approve(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        if "archive_existing_versions" not in fields:
            raise invalid("Missing value for required parameter 'archive_existing_versions'.")
        model, version, stage = self._stage_of(fields)
        found = _open(version, stage)
        self._move(model, version, stage, fields, self.user_of(request))
        version.requests = [wish for wish in version.requests if wish not in found]
        return self._settled("APPROVED", request, version, stage, fields)

    async def _reject(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        _, version, stage = self._stage_of(fields)
        found = _open(version, stage)
        version.requests = [wish for wish in version.requests if wish not in found]
        return self._settled("REJECTED", request, version, stage, fields)

    def _settled(
        self, how: str, request: web.Request, version: Version, stage: str, fields: dict[str, Any]
    ) -> web.Response:
        user = self.user_of(request)
        event = f"TRANSITION_REQUEST_{how}"
        act = self.announce(event, version.name, user, version=version.version, to_stage=stage)
        activity = {
            "activity_type": f"{how}_REQUEST",
            "id": uuid.uuid4().hex,
            "user_id": user,
            "to_stage": stage,
            "comment": str(fields.get("comment") or ""),
            "creation_timestamp": act.time,
        }
        return web.json_response({"activity": activity})

    async def _create_comment(self, request: web.Request) -> web.Response:
        fields = await fields_of(request)
        model, version = self.version_of(fields)
        user = self.user_of(request)
        comment = Comment(uuid.uuid4().hex, user, text_of(fields, "comment"), self.now())
        version.comments.append(comment)
        self.announce("COMMENT_CREATED", model.name, user, version=version.version, comment=comment.comment)
        return web.json_response({"comment": comment.body()})

    async def _list_comments(self, request: web.Request) -> web.Response:
        _, version = self.version_of(await fields_of(request))
        return web.json_response({"comments": [comment.body() for comment in version.comments]})

    async def _delete_comment(self, request: web.Request) -> web.Response:
        wanted = text_of(await fields_of(request), "id")
        for version in (version for model in self.models.values() for version in model.versions.values()):
            if any(comment.id == wanted for comment in version.comments):
                version.comments = [comment for comment in version.comments if comment.id != wanted]
                return web.json_response({})
        raise missing(f"Comment with id {wanted} not found.")


def _open(version: Version, stage: str) -> list[TransitionRequest]:
    found = [wish for wish in version.requests if wish.to_stage == stage]
    if not found:
        raise missing(f"There is no open request for stage '{stage}'.")
    return found

"""What an Azure DevOps project allows, where the SDK's models don't tell: its settings, and this identity's rights.

Contract: build.json 7.1 (PipelineGeneralSettings); core 7.1 (projects), security 7.1 (permissions); "Security namespace
and permission reference" (ReleaseManagement, CreateReleases = 64, tokens PROJECT/FOLDER/DEFINITION).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared import rest
from shared.azure_devops import SERVICE
from shared.errors import PermanentFailure
from shared.identity import AZURE_DEVOPS_SCOPE, token
from shared.settings import settings

RELEASE_MANAGEMENT = "c788c23e-1b46-4162-8f5e-d7585343b5de"
CREATE_RELEASES = 64
_REFUSED = (400, 401, 403, 404)


@dataclass(frozen=True)
class AzureDevOpsProject:
    """A project by its names, asked with a personal access token or (if empty) as this app's identity."""

    organization: str
    project: str
    pat: str = field(default="", repr=False)

    def creates_no_classic_releases(self) -> bool:
        """Tell whether the creation of classic release pipelines is switched off. Raises a Failure.

        False also where this identity may not read the settings.
        """
        found = self._get(f"{quote(self.project)}/_apis/build/generalsettings", "7.1")
        return any(
            found.get(name) is True
            for name in ("disableClassicReleasePipelineCreation", "disableClassicPipelineCreation")
        )

    def may_create_releases(self, folder: str, definition: int) -> bool | None:
        """Tell whether this identity may create releases of a definition; None where it may not even ask."""
        project = self._get(f"_apis/projects/{quote(self.project)}", "7.1").get("id")
        if not project:
            return None
        path = "/".join(part for part in folder.replace("\\", "/").split("/") if part)
        place = "/".join(filter(None, (str(project), path, str(definition))))
        url = f"_apis/permissions/{RELEASE_MANAGEMENT}/{CREATE_RELEASES}"
        answer = self._get(url, "7.1", tokens=place).get("value")
        return bool(answer[0]) if isinstance(answer, list) and answer else None

    def _get(self, path: str, version: str, **params: str) -> dict[str, Any]:
        url = f"{settings().azure_devops_url}/{quote(self.organization)}/{path}"
        bearer = base64.b64encode(f":{self.pat}".encode()).decode()
        authorization = f"Basic {bearer}" if self.pat else f"Bearer {token(AZURE_DEVOPS_SCOPE)}"
        try:
            reply = rest.request(
                "GET",
                url,
                SERVICE,
                headers={"Authorization": authorization},
                params={"api-version": version, **params},
                allowed=_REFUSED,
            )
        except PermanentFailure:
            return {}  # a sign-in page
        found = reply.json() if reply.status == 200 else {}
        return found if isinstance(found, dict) else {}

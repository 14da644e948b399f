"""An app with one function whose setting is missing and one that needs none."""

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


@app.queue_trigger("message", queue_name="%MISSING_QUEUE%", connection="AzureWebJobsStorage")
def lame(message: func.QueueMessage) -> None:
    raise AssertionError(message)


@app.route("well")
def well(req: func.HttpRequest) -> str:
    return "well"

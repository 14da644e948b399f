"""An app that the host cannot index: the parameter is not called like its binding."""

import azure.functions as func

app = func.FunctionApp()


@app.route("wrong")
def wrong(request: func.HttpRequest) -> str:
    return "never"

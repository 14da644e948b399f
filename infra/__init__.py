"""What stands around the app in Azure, as code, and the checks of that code. No part of the app."""

"""The doctor: all that can be wrong, found before the night, judged by the app's own identity. It changes nothing."""

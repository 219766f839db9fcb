"""The page: pictures and texts in, videos out, for people without the shared folder. It is served by the HTTP server at `/ui`."""

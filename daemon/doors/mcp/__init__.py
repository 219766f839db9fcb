"""The door for assistants that use tools: the Model Context Protocol, on stdin and stdout or at `/mcp` of the HTTP server."""

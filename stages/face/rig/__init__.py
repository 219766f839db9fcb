"""The rig: displacement fields, painted layers and colours with which a portrait is animated."""

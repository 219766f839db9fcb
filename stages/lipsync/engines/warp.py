"""The engine `warp`: the motion track warps the portrait, including the mouth. It needs no model files."""

from stages.lipsync.engines.base import LipsyncEngine

ENGINE = LipsyncEngine("warp")

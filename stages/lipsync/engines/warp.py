"""The engine `warp`: the portrait itself is moved, the mouth included. It needs no model file."""

from stages.lipsync.engines.base import LipsyncEngine

ENGINE = LipsyncEngine("warp")

"""The engine `coqui`: Coqui's VITS models of English (LJSpeech, the 109 people of VCTK), which know how long each phone is."""

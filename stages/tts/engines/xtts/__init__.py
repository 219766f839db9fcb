"""The engine `xtts`: Coqui's XTTS v2, which speaks 17 languages with the voice of a few seconds of somebody's speech.

The networks are coqui-tts's own. Around them: files that are checked before they are read and never changed (`files`,
`network`), text in portions that the network can hold (`portions`), and a look at everything it says, since it sometimes
says more, or less, than it was given (`guard`, `engine`).
"""

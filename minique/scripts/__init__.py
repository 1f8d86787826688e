"""The arrows of the state diagram as Lua, one script each; `minique/lua.py` loads them."""

"""Records in, text out. Pure: no clock, no terminal, no files; width, colour and time are passed in."""

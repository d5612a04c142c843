"""Who says it aloud: a file here is a speaker; text goes in, sounds and their times come out."""

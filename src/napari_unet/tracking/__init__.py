"""Who is who in the next frame, and who divided. One file a method; all take labels and give tracks."""

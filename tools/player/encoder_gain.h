/* Returns the gain that LAME applied to the music of an MP3 before encoding: 0.95 to 1, which is 1 if the file does not
 * state it, or 0 if the file cannot be opened. */
double encoder_gain(const char *path);

/* The gain that LAME gave an MP3's music before it coded it; see encoder_gain.c. */
double encoder_gain(const char *path);

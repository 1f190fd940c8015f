/* The inner loop of a music player in C. It restores samples with a step that `keras-audiosr export --stream` wrote.
 *
 *   player [--gain GAIN | --mp3 FILE] MODEL CONTEXT LATENCY WARM_UP CHANNELS < in > out
 *
 * The model's metadata.json has CONTEXT, and under "streaming" LATENCY and WARM_UP. Samples are interleaved 32-bit
 * floating point (f32le) at the model's sample rate. The output has as many samples as the input and is aligned with
 * it. It can exceed 1, because there is no limiter. For a model with "undo_encoder_gain": true in metadata.json, the
 * input is divided by the gain of its encoder. This is GAIN, or the gain in the tag of the MP3 FILE (encoder_gain.c).
 *
 * All rows run the same signature. The rows are mid and side of each pair of a left and a right channel, and each
 * channel that has no counterpart. Each row has its own state, which this program stores.
 *
 * The wheel ai-edge-litert contains libLiteRt.so without headers, so the functions of LiteRT's C API that are used here
 * are declared below, as in version 2.3.
 */
#include "encoder_gain.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct LiteRtObject *Handle; /* an opaque environment, model, signature, tensor, options or buffer */
typedef struct { uint64_t opaque[32]; } TensorType; /* LiteRtRankedTensorType (72 bytes in 2.3); only passed on */
enum { CPU = 1, READ = 0, WRITE = 1, MOST_TENSORS = 64, MOST_CHANNELS = 8 };
int LiteRtCreateEnvironment(int num_options, const void *options, Handle *environment);
int LiteRtCreateModelFromFile(Handle environment, const char *path, Handle *model);
int LiteRtCreateOptions(Handle *options);
int LiteRtSetOptionsHardwareAccelerators(Handle options, int accelerators);
int LiteRtCreateCompiledModel(Handle environment, Handle model, Handle options, Handle *compiled);
int LiteRtGetModelSignature(Handle model, size_t index, Handle *signature);
int LiteRtGetNumSignatureInputs(Handle signature, size_t *count);
int LiteRtGetNumSignatureOutputs(Handle signature, size_t *count);
int LiteRtGetSignatureInputName(Handle signature, size_t index, const char **name);
int LiteRtGetSignatureOutputName(Handle signature, size_t index, const char **name);
int LiteRtGetSignatureInputTensorByIndex(Handle signature, size_t index, Handle *tensor);
int LiteRtGetSignatureOutputTensorByIndex(Handle signature, size_t index, Handle *tensor);
int LiteRtGetRankedTensorType(Handle tensor, TensorType *type);
int LiteRtGetCompiledModelInputBufferRequirements(Handle compiled, size_t signature, size_t index, Handle *required);
int LiteRtGetCompiledModelOutputBufferRequirements(Handle compiled, size_t signature, size_t index, Handle *required);
int LiteRtCreateManagedTensorBufferFromRequirements(Handle environment, const TensorType *type, Handle required,
                                                    Handle *buffer);
int LiteRtGetTensorBufferPackedSize(Handle buffer, size_t *bytes);
int LiteRtLockTensorBuffer(Handle buffer, void **memory, int mode);
int LiteRtUnlockTensorBuffer(Handle buffer);
int LiteRtRunCompiledModel(Handle compiled, size_t signature, size_t num_inputs, Handle *inputs, size_t num_outputs,
                           Handle *outputs);

/* Indices of left and right channels, by number of channels, as in keras_audiosr/sound/mid_side.py. */
static const int PAIRS[MOST_CHANNELS + 1][3][2] = {
    [2] = {{0, 1}}, [3] = {{0, 1}}, [4] = {{0, 1}}, [5] = {{0, 1}, {3, 4}}, [6] = {{0, 1}, {4, 5}},
    [7] = {{0, 1}, {5, 6}}, [8] = {{0, 1}, {4, 5}, {6, 7}},
};

static void fail(const char *what) {
  fprintf(stderr, "player: error: %s\n", what);
  exit(1);
}

static void check(int status, const char *what) {
  if (status != 0) fail(what);
}

/* Fails because there is no model at this path. The message lists the steps in its folder. */
static void fail_at(const char *path) {
  char said[2048], folder[1024], names[512] = "";
  const char *slash = strrchr(path, '/');
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
  DIR *listed = opendir(folder);
  for (struct dirent *entry; listed && (entry = readdir(listed));) {
    size_t length = strlen(entry->d_name), used = strlen(names);
    if (!strncmp(entry->d_name, "stream_", 7) && length > 7 && !strcmp(entry->d_name + length - 7, ".tflite"))
      snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", entry->d_name);
  }
  snprintf(said, sizeof said, "a stream_*.tflite is needed; %.900s cannot be loaded; %s%s", path,
           names[0] ? "its folder has " : "make one with 'keras-audiosr export RUN OUT --stream 1024'", names);
  fail(said);
}

static void *zeros(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) fail("out of memory");
  return memory;
}

/* The inputs or the outputs of a step. */
typedef struct {
  size_t count, samples, bytes[MOST_TENSORS]; /* samples is the index of `lossy` or `restored` */
  const char *name[MOST_TENSORS];
  Handle buffer[MOST_TENSORS];
} Side;

typedef struct {
  Handle compiled;
  Side in, out;
  size_t state_of[MOST_TENSORS]; /* index of the output with the name of this input */
  size_t hop;
  float *state[MOST_CHANNELS][MOST_TENSORS];
} Player;

static void open_side(Side *side, int outputs, Handle environment, Handle compiled, Handle signature) {
  check((outputs ? LiteRtGetNumSignatureOutputs : LiteRtGetNumSignatureInputs)(signature, &side->count), "no signature");
  if (side->count < 2 || side->count > MOST_TENSORS) fail("the model must be a step, which has a state");
  side->samples = side->count;
  for (size_t i = 0; i < side->count; i++) {
    Handle tensor, required;
    TensorType type;
    check((outputs ? LiteRtGetSignatureOutputName : LiteRtGetSignatureInputName)(signature, i, &side->name[i]), "no name");
    check((outputs ? LiteRtGetSignatureOutputTensorByIndex : LiteRtGetSignatureInputTensorByIndex)(signature, i, &tensor),
          "LiteRT gives no tensor");
    check(LiteRtGetRankedTensorType(tensor, &type), "a tensor has no fixed shape");
    check((outputs ? LiteRtGetCompiledModelOutputBufferRequirements
                   : LiteRtGetCompiledModelInputBufferRequirements)(compiled, 0, i, &required),
          "LiteRT gives no buffer requirements");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, required, &side->buffer[i]),
          "LiteRT cannot create a buffer");
    check(LiteRtGetTensorBufferPackedSize(side->buffer[i], &side->bytes[i]), "a buffer has no size");
    if (!strcmp(side->name[i], outputs ? "restored" : "lossy")) side->samples = i;
  }
  if (side->samples == side->count) fail("the model must be a step with input lossy and output restored");
}

static void player_open(Player *player, const char *path, int channels) {
  Handle environment, model, options, signature;
  check(LiteRtCreateEnvironment(0, NULL, &environment), "LiteRT cannot start");
  if (LiteRtCreateModelFromFile(environment, path, &model) != 0) fail_at(path);
  check(LiteRtCreateOptions(&options), "LiteRT cannot create options");
  check(LiteRtSetOptionsHardwareAccelerators(options, CPU), "LiteRT cannot use the CPU");
  check(LiteRtCreateCompiledModel(environment, model, options, &player->compiled), "LiteRT cannot run this model");
  check(LiteRtGetModelSignature(model, 0, &signature), "the model has no signature");
  open_side(&player->in, 0, environment, player->compiled, signature);
  open_side(&player->out, 1, environment, player->compiled, signature);
  player->hop = player->in.bytes[player->in.samples] / sizeof(float);
  for (size_t i = 0; i < player->in.count; i++) {
    if (i == player->in.samples) continue;
    size_t found = 0;
    while (found < player->out.count && strcmp(player->out.name[found], player->in.name[i])) found++;
    if (found == player->out.count || player->out.bytes[found] != player->in.bytes[i])
      fail("the model does not return one of its states");
    player->state_of[i] = found;
    for (int channel = 0; channel < channels; channel++) player->state[channel][i] = zeros(1, player->in.bytes[i]);
  }
}

static void copy(Handle buffer, void *memory, size_t bytes, int mode) {
  void *inside;
  check(LiteRtLockTensorBuffer(buffer, &inside, mode), "a buffer cannot be locked");
  if (mode == WRITE) memcpy(inside, memory, bytes);
  else memcpy(memory, inside, bytes);
  check(LiteRtUnlockTensorBuffer(buffer), "a buffer cannot be unlocked");
}

/* Replaces each pair by (left + right, left - right) times scale: 0.5 gives mid and side, 1 left and right again. */
static void sums_and_differences(float *samples, size_t hop, int channels, float scale) {
  for (int pair = 0; pair < 3 && PAIRS[channels][pair][1]; pair++) {
    float *left = samples + hop * PAIRS[channels][pair][0], *right = samples + hop * PAIRS[channels][pair][1];
    for (size_t n = 0; n < hop; n++) {
      float sum = (left[n] + right[n]) * scale, difference = (left[n] - right[n]) * scale;
      left[n] = sum, right[n] = difference;
    }
  }
}

/* Marks the samples of each row at which `silent` or more exact zeros in a row end. Their output is digital silence. */
static void find_silence(const float *samples, size_t hop, int channels, size_t silent, size_t *run, char *quiet) {
  for (size_t at = 0; at < hop * channels; at++) {
    run[at / hop] = samples[at] == 0 ? run[at / hop] + 1 : 0;
    quiet[at] = run[at / hop] >= silent;
  }
}

static void keep_silence(float *samples, const char *quiet, size_t count) {
  for (size_t at = 0; at < count; at++) samples[at] = quiet[at] ? 0 : samples[at];
}

/* Runs one step of one row on `hop` samples, in place. */
static void player_step(Player *player, int row, float *samples) {
  Side *in = &player->in, *out = &player->out;
  for (size_t i = 0; i < in->count; i++)
    copy(in->buffer[i], i == in->samples ? samples : player->state[row][i], in->bytes[i], WRITE);
  check(LiteRtRunCompiledModel(player->compiled, 0, in->count, in->buffer, out->count, out->buffer), "a step failed");
  copy(out->buffer[out->samples], samples, out->bytes[out->samples], READ);
  for (size_t i = 0; i < in->count; i++)
    if (i != in->samples) copy(out->buffer[player->state_of[i]], player->state[row][i], in->bytes[i], READ);
}

/* Returns the factor that undoes the encoder's gain, for `--gain GAIN` or `--mp3 FILE`. */
static float undoing_factor(const char *option, const char *value) {
  double gain = strcmp(option, "--mp3") ? strtod(value, NULL) : encoder_gain(value);
  if (!strcmp(option, "--mp3") && gain == 0) fail("--mp3 needs a file that can be read; check the path");
  if (!(gain >= 0.1 && gain <= 10)) fail("GAIN must be a factor from 0.1 to 10, such as 0.95");
  return (float)(1 / gain);
}

int main(int argc, char **argv) {
  float factor = 1;
  if (argc > 2 && (!strcmp(argv[1], "--gain") || !strcmp(argv[1], "--mp3"))) {
    factor = undoing_factor(argv[1], argv[2]);
    argc -= 2, argv += 2;
  }
  if (argc != 6) fail("usage: player [--gain GAIN | --mp3 FILE] MODEL CONTEXT LATENCY WARM_UP CHANNELS < in > out");
  size_t context = strtoul(argv[2], NULL, 10), latency = strtoul(argv[3], NULL, 10), warm_up = strtoul(argv[4], NULL, 10);
  int channels = atoi(argv[5]);
  if (channels < 1 || channels > MOST_CHANNELS) fail("CHANNELS must be 1 to 8");

  static Player player;
  player_open(&player, argv[1], channels);
  size_t hop = player.hop, frame = (size_t)channels * sizeof(float);
  float *block = zeros(hop, frame);
  size_t count = hop * channels;
  float *samples = zeros(count, sizeof(float)); /* row after row, not interleaved */
  /* Digital silence is kept in mid and side, so that equal channels stay equal, and in the channels, so that a silent
   * channel stays silent. Silence without a beginning is assumed before the music. */
  size_t silent = context + latency + 1, run[MOST_CHANNELS], coded_run[MOST_CHANNELS];
  for (int row = 0; row < channels; row++) run[row] = coded_run[row] = silent;
  char *quiet = zeros(count, 1), *coded_quiet = zeros(count, 1);

  /* The steps on silence compute the states after endless silence, with which the music begins. */
  for (size_t done = 0; done < warm_up; done += hop)
    for (int row = 0; row < channels; row++) {
      memset(samples, 0, hop * sizeof(float));
      player_step(&player, row, samples);
    }

  size_t received = 0, made = 0, written = 0; /* in frames; `made` includes the `latency` frames that are dropped */
  for (int ended = 0; !ended || written < received;) {
    size_t came = ended ? 0 : fread(block, frame, hop, stdin);
    ended = ended || came < hop;
    received += came;
    memset((char *)block + came * frame, 0, (hop - came) * frame); /* silence follows the music as well */
    for (size_t at = 0; at < count; at++)
      samples[at % channels * hop + at / channels] = factor * block[at]; /* step 0 */
    find_silence(samples, hop, channels, silent, run, quiet);
    sums_and_differences(samples, hop, channels, 0.5f);
    find_silence(samples, hop, channels, silent, coded_run, coded_quiet);
    for (int row = 0; row < channels; row++) player_step(&player, row, samples + row * hop);
    keep_silence(samples, coded_quiet, count);
    sums_and_differences(samples, hop, channels, 1.0f);
    keep_silence(samples, quiet, count);
    size_t first = made < latency ? (latency - made < hop ? latency - made : hop) : 0;
    size_t ready = hop - first < received - written ? hop - first : received - written;
    made += hop;
    for (size_t at = 0; at < ready * channels; at++) block[at] = samples[at % channels * hop + first + at / channels];
    if (fwrite(block, frame, ready, stdout) < ready || fflush(stdout)) fail("standard output cannot be written");
    written += ready;
  }
  return 0;
}

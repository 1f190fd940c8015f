/* A player's inner loop in C: raw samples in, restored samples out, by the step that `keras-audiosr export --stream` wrote.
 *
 *   player MODEL LATENCY WARM_UP CHANNELS [s16|f32] < in > out
 *
 * LATENCY and WARM_UP stand in the model's metadata.json under "streaming". Samples are interleaved, little-endian, at
 * the model's sample rate; as many come out as go in, in step. One signature runs for all channels; what tells them
 * apart is state, which lies here. No limiter: f32 can exceed 1, s16 is clamped.
 *
 * Links against libLiteRt.so. The wheel ai-edge-litert brings it without headers, so what is used of LiteRT's C API is
 * declared below, as version 2.3 has it.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct LiteRtObject *Handle; /* environment, model, signature, tensor, options, buffer: all opaque */
typedef struct { uint64_t opaque[32]; } TensorType; /* LiteRtRankedTensorType, 72 bytes in 2.3; only handed on */
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

static void fail(const char *what) {
  fprintf(stderr, "player: error: %s\n", what);
  exit(1);
}

static void check(int status, const char *what) {
  if (status != 0) fail(what);
}

static void *zeros(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) fail("out of memory");
  return memory;
}

/* The inputs of the step, or its outputs. */
typedef struct {
  size_t count, samples, bytes[MOST_TENSORS]; /* samples: index of `lossy` or `restored` */
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
  if (side->count < 2 || side->count > MOST_TENSORS) fail("the model is no step: it has no state");
  side->samples = side->count;
  for (size_t i = 0; i < side->count; i++) {
    Handle tensor, required;
    TensorType type;
    check((outputs ? LiteRtGetSignatureOutputName : LiteRtGetSignatureInputName)(signature, i, &side->name[i]), "no name");
    check((outputs ? LiteRtGetSignatureOutputTensorByIndex : LiteRtGetSignatureInputTensorByIndex)(signature, i, &tensor),
          "no tensor");
    check(LiteRtGetRankedTensorType(tensor, &type), "a tensor without a fixed shape");
    check((outputs ? LiteRtGetCompiledModelOutputBufferRequirements
                   : LiteRtGetCompiledModelInputBufferRequirements)(compiled, 0, i, &required), "no requirements");
    check(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, required, &side->buffer[i]), "no buffer");
    check(LiteRtGetTensorBufferPackedSize(side->buffer[i], &side->bytes[i]), "a buffer without a size");
    if (!strcmp(side->name[i], outputs ? "restored" : "lossy")) side->samples = i;
  }
  if (side->samples == side->count) fail("the model is no step: it must take lossy and give restored");
}

static void player_open(Player *player, const char *path, int channels) {
  Handle environment, model, options, signature;
  check(LiteRtCreateEnvironment(0, NULL, &environment), "LiteRT does not start");
  if (LiteRtCreateModelFromFile(environment, path, &model) != 0) fail("a stream_*.tflite is needed; check the path");
  check(LiteRtCreateOptions(&options), "no options");
  check(LiteRtSetOptionsHardwareAccelerators(options, CPU), "no CPU");
  check(LiteRtCreateCompiledModel(environment, model, options, &player->compiled), "LiteRT cannot run this model");
  check(LiteRtGetModelSignature(model, 0, &signature), "the model has no signature");
  open_side(&player->in, 0, environment, player->compiled, signature);
  open_side(&player->out, 1, environment, player->compiled, signature);
  player->hop = player->in.bytes[player->in.samples] / sizeof(float);
  for (size_t i = 0; i < player->in.count; i++) {
    if (i == player->in.samples) continue;
    size_t found = 0;
    while (found < player->out.count && strcmp(player->out.name[found], player->in.name[i])) found++;
    if (found == player->out.count || player->out.bytes[found] != player->in.bytes[i]) fail("a state is not given back");
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

/* One step of one channel: hop samples, in place. */
static void player_step(Player *player, int channel, float *samples) {
  Side *in = &player->in, *out = &player->out;
  for (size_t i = 0; i < in->count; i++)
    copy(in->buffer[i], i == in->samples ? samples : player->state[channel][i], in->bytes[i], WRITE);
  check(LiteRtRunCompiledModel(player->compiled, 0, in->count, in->buffer, out->count, out->buffer), "a step failed");
  copy(out->buffer[out->samples], samples, out->bytes[out->samples], READ);
  for (size_t i = 0; i < in->count; i++)
    if (i != in->samples) copy(out->buffer[player->state_of[i]], player->state[channel][i], in->bytes[i], READ);
}

int main(int argc, char **argv) {
  if (argc < 5 || argc > 6) fail("usage: player MODEL LATENCY WARM_UP CHANNELS [s16|f32] < in > out");
  size_t latency = strtoul(argv[2], NULL, 10), warm_up = strtoul(argv[3], NULL, 10);
  int channels = atoi(argv[4]), is_float = argc == 6 && !strcmp(argv[5], "f32");
  if (channels < 1 || channels > MOST_CHANNELS) fail("CHANNELS must be 1 to 8");
  if (argc == 6 && !is_float && strcmp(argv[5], "s16")) fail("samples are s16 or f32");

  static Player player;
  player_open(&player, argv[1], channels);
  size_t hop = player.hop, frame = (size_t)channels * (is_float ? sizeof(float) : sizeof(int16_t));
  float *samples = zeros(hop, sizeof(float));
  void *block = zeros(hop, frame);
  float *restored = zeros(hop * (size_t)channels, sizeof(float));

  /* Before the music lies silence without a beginning: the network's answer to it is the state to start from. */
  for (size_t done = 0; done < warm_up; done += hop)
    for (int channel = 0; channel < channels; channel++) {
      memset(samples, 0, hop * sizeof(float));
      player_step(&player, channel, samples);
    }

  size_t received = 0, made = 0, written = 0; /* frames; `made` counts those that are only late */
  for (int ended = 0; !ended || written < received;) {
    size_t count = ended ? 0 : fread(block, frame, hop, stdin);
    ended = ended || count < hop;
    received += count;
    memset((char *)block + count * frame, 0, (hop - count) * frame); /* after the music as well */
    for (int channel = 0; channel < channels; channel++) {
      for (size_t n = 0; n < hop; n++) {
        size_t at = n * channels + channel;
        samples[n] = is_float ? ((float *)block)[at] : ((int16_t *)block)[at] / 32768.0f;
      }
      player_step(&player, channel, samples);
      for (size_t n = 0; n < hop; n++) restored[n * channels + channel] = samples[n];
    }
    size_t first = made < latency ? (latency - made < hop ? latency - made : hop) : 0;
    size_t ready = hop - first < received - written ? hop - first : received - written;
    made += hop;
    float *from = restored + first * channels;
    for (size_t at = 0; !is_float && at < ready * channels; at++)
      ((int16_t *)block)[at] = (int16_t)lrintf(fmaxf(-32768.0f, fminf(32767.0f, from[at] * 32768.0f)));
    if (fwrite(is_float ? (void *)from : block, frame, ready, stdout) < ready || fflush(stdout)) fail("cannot write");
    written += ready;
  }
  return 0;
}

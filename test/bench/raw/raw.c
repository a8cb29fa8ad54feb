// The baseline: what TensorFlow Lite takes by itself. It loads a model with a
// delegate and a number of threads and then obeys lines on standard input:
//
//   run N   invoke N times, print the nanoseconds of all together
//   rss     print the resident memory in KiB (VmRSS)
//   (end)   exit
//
// Usage: raw MODEL cpu|xnnpack THREADS
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tensorflow/lite/c/c_api.h>

typedef struct {  // as of TensorFlow Lite 2.9
  int32_t num_threads;
  uint32_t flags;
  void* weights_cache;
} xnnpack_options;

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long rss(void) {
  char line[256];
  long kib = 0;
  FILE* f = fopen("/proc/self/status", "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL)
    if (sscanf(line, "VmRSS: %ld", &kib) == 1) break;
  if (f != NULL) fclose(f);
  return kib;
}

static int fail(const char* what) {
  fprintf(stderr, "raw: %s\n", what);
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 4) return fail("usage: raw MODEL cpu|xnnpack THREADS");
  int threads = atoi(argv[3]);
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  if (model == NULL) return fail("cannot read the model");
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, threads);
  if (strcmp(argv[2], "xnnpack") == 0) {
    TfLiteDelegate* (*create)(const xnnpack_options*) =
        (TfLiteDelegate * (*)(const xnnpack_options*))
            dlsym(RTLD_DEFAULT, "TfLiteXNNPackDelegateCreate");
    if (create == NULL) return fail("the library has no XNNPACK");
    xnnpack_options x = {threads, 1, NULL};
    TfLiteInterpreterOptionsAddDelegate(options, create(&x));
  }
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, options);
  if (interpreter == NULL ||
      TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk)
    return fail("cannot make an interpreter");
  TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter, 0);
  uint32_t seed = 1;  // noise
  uint8_t* data = TfLiteTensorData(input);
  for (size_t i = 0; i < TfLiteTensorByteSize(input); i++)
    data[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
  if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk)
    return fail("cannot invoke");
  printf("ready\n");
  fflush(stdout);
  char line[64];
  int n;
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "run %d", &n) == 1) {
      long long start = now();
      for (int i = 0; i < n; i++)
        if (TfLiteInterpreterInvoke(interpreter) != kTfLiteOk)
          return fail("cannot invoke");
      printf("%lld\n", now() - start);
    } else if (strncmp(line, "rss", 3) == 0) {
      printf("%ld\n", rss());
    } else {
      return fail("say run N or rss");
    }
    fflush(stdout);
  }
  return 0;
}

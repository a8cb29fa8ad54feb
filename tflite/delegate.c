//go:build cgo

#include "delegate.h"

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

// The options of tensorflow/lite/delegates/xnnpack/xnnpack_delegate.h as of
// 2.9; later versions have more fields, so the caller checks the version.
typedef struct {
  int32_t num_threads;
  uint32_t flags;
  void* weights_cache;
} xnnpack_options;

// Kernels for signed 8-bit models. The flag for unsigned ones (2) makes the
// interpreter's creation fail on the models that it is meant for.
static const uint32_t kXnnpackQS8 = 1;

static __thread char* report;
static __thread size_t report_size;

static void on_error(const char* text) {
  if (report != NULL && text != NULL) snprintf(report, report_size, "%s", text);
}

int egret_xnnpack(int threads, egret_delegate* out, char* err, size_t size) {
  // By name: a library that was built without it must still link.
  TfLiteDelegate* (*create)(const xnnpack_options*) =
      (TfLiteDelegate * (*)(const xnnpack_options*))
          dlsym(RTLD_DEFAULT, "TfLiteXNNPackDelegateCreate");
  void (*destroy)(TfLiteDelegate*) = (void (*)(TfLiteDelegate*))dlsym(
      RTLD_DEFAULT, "TfLiteXNNPackDelegateDelete");
  if (create == NULL || destroy == NULL) {
    snprintf(err, size, "the library was built without it");
    return -1;
  }
  xnnpack_options options = {threads, kXnnpackQS8, NULL};
  out->delegate = create(&options);
  out->destroy = destroy;
  if (out->delegate == NULL) {
    snprintf(err, size, "the library cannot set it up on this processor");
    return -1;
  }
  return 0;
}

int egret_external(const char* path, const char** keys, const char** values,
                   size_t options, egret_delegate* out, char* err,
                   size_t size) {
  // The library stays loaded: drivers leave threads and handlers behind that
  // would run into unmapped code.
  void* lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (lib == NULL) {
    snprintf(err, size, "%s", dlerror());
    return -1;
  }
  // tensorflow/lite/delegates/external/external_delegate_interface.h
  TfLiteDelegate* (*create)(const char**, const char**, size_t,
                            void (*)(const char*)) =
      (TfLiteDelegate * (*)(const char**, const char**, size_t,
                            void (*)(const char*)))
          dlsym(lib, "tflite_plugin_create_delegate");
  out->destroy = (void (*)(TfLiteDelegate*))dlsym(
      lib, "tflite_plugin_destroy_delegate");
  if (create == NULL || out->destroy == NULL) {
    snprintf(err, size,
             "%s is no external delegate: it lacks "
             "tflite_plugin_create_delegate or tflite_plugin_destroy_delegate",
             path);
    return -1;
  }
  err[0] = 0;
  report = err;
  report_size = size;
  out->delegate = create(keys, values, options, on_error);
  report = NULL;
  if (out->delegate == NULL) {
    if (err[0] == 0) snprintf(err, size, "it refuses without a reason");
    return -1;
  }
  return 0;
}

void egret_delegate_free(egret_delegate* d) {
  if (d->delegate != NULL) d->destroy(d->delegate);
  d->delegate = NULL;
}

static __thread struct {
  TfLiteStatus (*prepare)(TfLiteContext*, TfLiteDelegate*);
  int operators, taken;
} watched;

static int plan_size(TfLiteContext* context, TfLiteDelegate* delegate,
                     int* kernels) {
  TfLiteIntArray* plan = NULL;
  *kernels = 0;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk) return -1;
  for (int i = 0; i < plan->size; i++) {
    TfLiteNode* node = NULL;
    struct TfLiteRegistration* registration = NULL;
    if (context->GetNodeAndRegistration(context, plan->data[i], &node,
                                        &registration) == kTfLiteOk &&
        node->delegate == delegate)
      ++*kernels;
  }
  return plan->size;
}

static TfLiteStatus prepare(TfLiteContext* context, TfLiteDelegate* delegate) {
  int kernels;
  int before = plan_size(context, delegate, &kernels);
  TfLiteStatus status = watched.prepare(context, delegate);
  if (status != kTfLiteOk || before < 0) return status;
  int after = plan_size(context, delegate, &kernels);
  if (after < 0) return status;
  // Each kernel of the delegate stands for all operators that it replaced.
  watched.operators = before;
  watched.taken = before - (after - kernels);
  return status;
}

void egret_watch_begin(egret_delegate* d) {
  watched.operators = watched.taken = -1;
  watched.prepare = d->delegate->Prepare;
  if (watched.prepare != NULL) d->delegate->Prepare = prepare;
}

void egret_watch_end(egret_delegate* d, int* operators, int* taken) {
  if (watched.prepare != NULL) d->delegate->Prepare = watched.prepare;
  *operators = watched.operators;
  *taken = watched.taken;
}

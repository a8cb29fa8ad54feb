// An external delegate for tests: what it does, the option "mode" says.
//
//   take     take over RESHAPE and SQUEEZE, which only copy
//   refuse   refuse to be created, with a reason
//   prepare  be created, then fail when the graph is prepared
//   crash    end the process by a segmentation fault when the graph is prepared
//   hang     never come back when the graph is prepared
//   stuck    take over as above, then never come back from the third Invoke
//   die      take over as above; with the option lost, that file's existence is
//            no loss but a segmentation fault in the next Invoke, unless it is
//            that of a trial process: what only crashes the agent itself
//   stall    take over as above; while the file lost exists, never come back
//            from an Invoke
//
// With the option lost=PATH the device is gone while that file exists: it is
// refused, and its operators fail.
#define _GNU_SOURCE  // memmem
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tensorflow/lite/c/common.h>

enum { kReshape = 22, kSqueeze = 43 };  // schema.fbs, BuiltinOperator

typedef struct {
  char mode[16];
  char lost[1024];
  int invokes;
} settings;

typedef struct {
  settings* s;
  int n;
  int (*copies)[2];
} kernel;

static int gone(const settings* s) {
  return strcmp(s->mode, "die") != 0 && strcmp(s->mode, "stall") != 0 && s->lost[0] != 0 && access(s->lost, F_OK) == 0;
}

// trial: is this `egret probe`?
static int trial(void) {
  char line[4096];
  FILE* f = fopen("/proc/self/cmdline", "r");
  size_t n = f ? fread(line, 1, sizeof line, f) : 0;
  if (f) fclose(f);
  return memmem(line, n, "\0probe", 7) != NULL;
}

static void* init(TfLiteContext* context, const char* buffer, size_t length) {
  const TfLiteDelegateParams* params = (const TfLiteDelegateParams*)buffer;
  kernel* k = calloc(1, sizeof *k);
  k->s = params->delegate->data_;
  k->n = params->nodes_to_replace->size;
  k->copies = calloc(k->n, sizeof *k->copies);
  for (int i = 0; i < k->n; i++) {
    TfLiteNode* node;
    TfLiteRegistration* registration;
    context->GetNodeAndRegistration(
        context, params->nodes_to_replace->data[i], &node, &registration);
    k->copies[i][0] = node->inputs->data[0];
    k->copies[i][1] = node->outputs->data[0];
  }
  return k;
}

static void release(TfLiteContext* context, void* data) {
  kernel* k = data;
  free(k->copies);
  free(k);
}

static TfLiteStatus ready(TfLiteContext* context, TfLiteNode* node) {
  return kTfLiteOk;
}

static TfLiteStatus invoke(TfLiteContext* context, TfLiteNode* node) {
  kernel* k = node->user_data;
  if (gone(k->s)) {
    context->ReportError(context, "test delegate: the device is gone");
    return kTfLiteError;
  }
  if (strcmp(k->s->mode, "die") == 0 && access(k->s->lost, F_OK) == 0 && !trial())
    raise(SIGSEGV);
  if (strcmp(k->s->mode, "stall") == 0 && access(k->s->lost, F_OK) == 0)
    for (;;) pause();
  if (strcmp(k->s->mode, "stuck") == 0 && ++k->s->invokes >= 3)
    for (;;) pause();
  for (int i = 0; i < k->n; i++) {
    TfLiteTensor* from = &context->tensors[k->copies[i][0]];
    TfLiteTensor* to = &context->tensors[k->copies[i][1]];
    if (from->data.raw != to->data.raw)
      memmove(to->data.raw, from->data.raw, from->bytes);
  }
  return kTfLiteOk;
}

static TfLiteStatus prepare(TfLiteContext* context, TfLiteDelegate* delegate) {
  settings* s = delegate->data_;
  if (strcmp(s->mode, "crash") == 0) raise(SIGSEGV);
  if (strcmp(s->mode, "hang") == 0)
    for (;;) pause();
  if (strcmp(s->mode, "prepare") == 0) {
    context->ReportError(context, "test delegate: no such graph");
    return kTfLiteError;
  }
  TfLiteIntArray* plan;
  if (context->GetExecutionPlan(context, &plan) != kTfLiteOk)
    return kTfLiteError;
  TfLiteIntArray* mine = malloc(sizeof(TfLiteIntArray) + plan->size * sizeof(int));
  mine->size = 0;
  for (int i = 0; i < plan->size; i++) {
    TfLiteNode* node;
    TfLiteRegistration* r;
    context->GetNodeAndRegistration(context, plan->data[i], &node, &r);
    if (r->builtin_code == kReshape || r->builtin_code == kSqueeze)
      mine->data[mine->size++] = plan->data[i];
  }
  TfLiteRegistration registration = {init, release, ready, invoke};
  registration.custom_name = "egret-test";
  registration.version = 1;
  TfLiteStatus status = context->ReplaceNodeSubsetsWithDelegateKernels(
      context, registration, mine, delegate);
  free(mine);
  return status;
}

TfLiteDelegate* tflite_plugin_create_delegate(
    const char* const* keys, const char* const* values, size_t n,
    void (*report_error)(const char*)) {
  settings* s = calloc(1, sizeof *s);
  for (size_t i = 0; i < n; i++) {
    if (strcmp(keys[i], "mode") == 0)
      snprintf(s->mode, sizeof s->mode, "%s", values[i]);
    if (strcmp(keys[i], "lost") == 0)
      snprintf(s->lost, sizeof s->lost, "%s", values[i]);
  }
  if (strcmp(s->mode, "refuse") == 0 || gone(s)) {
    report_error("test delegate: no device found");
    free(s);
    return NULL;
  }
  TfLiteDelegate* d = calloc(1, sizeof *d);
  d->data_ = s;
  d->Prepare = prepare;
  return d;
}

void tflite_plugin_destroy_delegate(TfLiteDelegate* d) {
  free(d->data_);
  free(d);
}

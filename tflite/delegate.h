#ifndef EGRET_TFLITE_DELEGATE_H_
#define EGRET_TFLITE_DELEGATE_H_

#include <stddef.h>

#include <tensorflow/lite/c/common.h>

// A delegate and how it is freed.
typedef struct egret_delegate {
  TfLiteDelegate* delegate;
  void (*destroy)(TfLiteDelegate*);
} egret_delegate;

// Both return 0, or -1 with a reason in err (always terminated).
int egret_xnnpack(int threads, egret_delegate* out, char* err, size_t size);
int egret_external(const char* path, const char** keys, const char** values,
                   size_t options, egret_delegate* out, char* err, size_t size);

void egret_delegate_free(egret_delegate* d);

// egret_watch counts the operators that d takes over, from its Prepare, which
// runs within TfLiteInterpreterCreate. Begin and end on the thread that
// creates the interpreter. The counts are -1 when d keeps its Prepare to
// itself (opaque delegates of later versions).
void egret_watch_begin(egret_delegate* d);
void egret_watch_end(egret_delegate* d, int* operators, int* taken);

#endif

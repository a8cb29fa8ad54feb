#ifndef EGRET_TFLITE_MESSAGES_H_
#define EGRET_TFLITE_MESSAGES_H_

#include <tensorflow/lite/c/c_api.h>

// What the library had to say, its messages joined by "; ". The first ones
// count: those that follow are their consequences.
typedef struct egret_messages {
  char text[1024];
} egret_messages;

void egret_messages_collect(TfLiteInterpreterOptions* options,
                            egret_messages* m);

#endif

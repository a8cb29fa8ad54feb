//go:build cgo

#include "messages.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void collect(void* user_data, const char* format, va_list args) {
  egret_messages* m = user_data;
  size_t used = strlen(m->text);
  if (used > 0 && used + 3 < sizeof m->text) {
    memcpy(m->text + used, "; ", 3);
    used += 2;
  }
  vsnprintf(m->text + used, sizeof m->text - used, format, args);
}

void egret_messages_collect(TfLiteInterpreterOptions* options,
                            egret_messages* m) {
  TfLiteInterpreterOptionsSetErrorReporter(options, collect, m);
}

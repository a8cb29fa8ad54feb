//go:build cgo

package tflite

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
static void egret_give_back(void) { malloc_trim(0); }
#else
static void egret_give_back(void) {}
#endif
*/
import "C"

// giveBack returns to the system what the C library keeps of freed memory. Each
// thread of Go's on which a model is loaded may allocate from an arena of its own,
// of which glibc has eight for each core and gives back next to nothing: after
// some dozens of reloads the process held the memory of a dozen models that were
// closed. It takes some milliseconds, which closing a model may.
func giveBack() { C.egret_give_back() }

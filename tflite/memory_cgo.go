//go:build cgo

package tflite

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>

// Before any thread is there: an arena that exists stays.
__attribute__((constructor)) static void egret_one_arena(void) {
	if (!getenv("MALLOC_ARENA_MAX")) mallopt(M_ARENA_MAX, 1);
	if (!getenv("MALLOC_MMAP_THRESHOLD_")) mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

static void egret_give_back(void) { malloc_trim(0); }
#else
static void egret_give_back(void) {}
#endif
*/
import "C"

// How native code's memory is kept small. By itself glibc has up to eight arenas
// for each core, and Go calls into C on any of its threads: models that come and go,
// pictures that are decoded here and there, leave each arena with holes that no
// other one can use, some MiB for each reload. One arena has a lock that nobody
// waits for, since steady inference allocates next to nothing. Blocks of 1 MiB and
// more, such as tensors and packed weights, are mapped, and go back to the system
// when they are freed; by itself glibc raises that bound to 32 MiB with the first
// large block. Whoever sets glibc's own variables decides otherwise.

// giveBack returns to the system what the C library still keeps of freed memory.
// It takes some milliseconds, which closing a model may.
func giveBack() { C.egret_give_back() }

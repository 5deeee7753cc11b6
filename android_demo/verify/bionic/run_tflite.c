/* run_tflite MODEL IN OUT: all outputs for each of the tensors of IN, one after the other, through the C API that Android's
   libtensorflowlite_jni.so exports, with XNNPACK and one thread, as the app has it.
   https://github.com/tensorflow/tensorflow/blob/v2.16.1/tensorflow/lite/core/c/c_api.h */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__thread char guard[64] = {1};   /* bionic keeps its stack canary at thread pointer + 0x28: that place must be nobody else's */
static void *lib;

static void die(const char *what) { fprintf(stderr, "%s\n", what); exit(1); }

static void *sym(const char *name) {
    void *found = dlsym(lib, name);
    if (!found) die(dlerror());
    return found;
}
#define CALL(result, name, ...) ((result (*)(__VA_ARGS__))sym(#name))
typedef struct { int32_t threads; char rest[252]; } XnnpackOptions;

int main(int count, char **arguments) {
    volatile char keep = guard[0];
    (void)keep;
    if (count != 4) die("run_tflite MODEL IN OUT");
    if (!dlopen("liblog.so", RTLD_NOW) || !(lib = dlopen("libtensorflowlite_jni.so", RTLD_NOW))) die(dlerror());
    void *model = CALL(void *, TfLiteModelCreateFromFile, const char *)(arguments[1]);
    void *options = CALL(void *, TfLiteInterpreterOptionsCreate, void)();
    CALL(void, TfLiteInterpreterOptionsSetNumThreads, void *, int32_t)(options, 1);
    XnnpackOptions xnnpack = CALL(XnnpackOptions, TfLiteXNNPackDelegateOptionsDefault, void)();
    xnnpack.threads = 1;
    CALL(void, TfLiteInterpreterOptionsAddDelegate, void *, void *)(
        options, CALL(void *, TfLiteXNNPackDelegateCreate, void *)(&xnnpack));
    void *interpreter = CALL(void *, TfLiteInterpreterCreate, void *, void *)(model, options);
    if (!interpreter || CALL(int, TfLiteInterpreterAllocateTensors, void *)(interpreter)) die("cannot open the file");
    void *input = CALL(void *, TfLiteInterpreterGetInputTensor, void *, int32_t)(interpreter, 0);
    int32_t outputs = CALL(int32_t, TfLiteInterpreterGetOutputTensorCount, const void *)(interpreter);
    size_t in = CALL(size_t, TfLiteTensorByteSize, const void *)(input);
    char *given = malloc(in);
    FILE *from = fopen(arguments[2], "rb"), *to = fopen(arguments[3], "wb");
    if (!from || !to) die("cannot open the tensors");
    while (fread(given, 1, in, from) == in) {
        if (CALL(int, TfLiteTensorCopyFromBuffer, void *, const void *, size_t)(input, given, in)
            || CALL(int, TfLiteInterpreterInvoke, void *)(interpreter)) die("cannot run");
        for (int32_t i = 0; i < outputs; i++) {
            const void *output = CALL(const void *, TfLiteInterpreterGetOutputTensor, const void *, int32_t)(interpreter, i);
            fwrite(CALL(void *, TfLiteTensorData, const void *)(output), 1, CALL(size_t, TfLiteTensorByteSize, const void *)(output), to);
        }
    }
    fclose(to);
    puts(CALL(const char *, TfLiteVersion, void)());
    return 0;
}

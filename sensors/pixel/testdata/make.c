// Makes the JPEGs of this folder that Go's encoder cannot write:
//   cc make.c -ljpeg -lm -o /tmp/make && /tmp/make .
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

enum { W = 97, H = 61 };

static void make(const char *dir, const char *name, J_COLOR_SPACE in, J_COLOR_SPACE out, int h, int v, int progressive, int arithmetic, int restart) {
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr err;
	char path[300];
	int n = in == JCS_CMYK ? 4 : in == JCS_GRAYSCALE ? 1 : 3, x, y;
	FILE *f;
	snprintf(path, sizeof path, "%s/%s.jpg", dir, name);
	f = fopen(path, "wb");
	c.err = jpeg_std_error(&err);
	jpeg_create_compress(&c);
	jpeg_stdio_dest(&c, f);
	c.image_width = W, c.image_height = H, c.input_components = n, c.in_color_space = in;
	jpeg_set_defaults(&c);
	jpeg_set_colorspace(&c, out);
	jpeg_set_quality(&c, 92, TRUE);
	c.comp_info[0].h_samp_factor = h, c.comp_info[0].v_samp_factor = v;
	if (out == JCS_YCCK)
		c.comp_info[3].h_samp_factor = h, c.comp_info[3].v_samp_factor = v;
	c.arith_code = arithmetic, c.restart_interval = restart;
	c.optimize_coding = !arithmetic;
	if (progressive)
		jpeg_simple_progression(&c);
	jpeg_start_compress(&c, TRUE);
	for (y = 0; y < H; y++) {
		unsigned char row[W * 4];
		JSAMPROW p = row;
		for (x = 0; x < W; x++) {
			unsigned char *d = row + x * n;
			d[0] = (unsigned char)(128 + 100 * sin(x * 9.0 / W));
			if (n > 1) {
				d[1] = (unsigned char)(128 + 100 * cos(y * 7.0 / H));
				d[2] = (unsigned char)(255 * (x + y) / (W + H));
			}
			if (n > 3)
				d[3] = (unsigned char)(255 - 120 * y / H);
		}
		jpeg_write_scanlines(&c, &p, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	fclose(f);
}

int main(int argc, char **argv) {
	const char *dir = argc > 1 ? argv[1] : ".";
	make(dir, "444", JCS_RGB, JCS_YCbCr, 1, 1, 0, 0, 0);
	make(dir, "422", JCS_RGB, JCS_YCbCr, 2, 1, 0, 0, 0);
	make(dir, "420-restart", JCS_RGB, JCS_YCbCr, 2, 2, 0, 0, 3);
	make(dir, "440", JCS_RGB, JCS_YCbCr, 1, 2, 0, 0, 0);
	make(dir, "411", JCS_RGB, JCS_YCbCr, 4, 1, 0, 0, 0);
	make(dir, "progressive", JCS_RGB, JCS_YCbCr, 2, 2, 1, 0, 0);
	make(dir, "rgb", JCS_RGB, JCS_RGB, 1, 1, 0, 0, 0);
	make(dir, "grey", JCS_GRAYSCALE, JCS_GRAYSCALE, 1, 1, 0, 0, 0);
	make(dir, "cmyk", JCS_CMYK, JCS_CMYK, 1, 1, 0, 0, 0);
	make(dir, "ycck", JCS_CMYK, JCS_YCCK, 1, 1, 0, 0, 0);
	make(dir, "ycck-420", JCS_CMYK, JCS_YCCK, 2, 2, 0, 0, 0);
	make(dir, "arithmetic", JCS_RGB, JCS_YCbCr, 2, 2, 0, 1, 0);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * bench/compute.c: a compute kernel whose data fits the caches: what is left is the cost of the
 * instructions and of their translation. Prints checksums, so that a wrong result shows.
 *
 *   compute ROUNDS
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 48, SIEVE = 32768, TEXT = 16384 };

static double a[N][N], b[N][N], c[N][N];
static uint8_t sieve[SIEVE];
static uint8_t text[TEXT];

static double multiply(unsigned round)
{
	double sum = 0;

	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			a[i][j] = (double)((i * 7 + j * 3 + (int)round) % 17);
			b[i][j] = (double)((i * 5 + j * 11) % 13);
		}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			double cell = 0;
			for (int k = 0; k < N; k++)
				cell += a[i][k] * b[k][j];
			c[i][j] = cell;
		}
	for (int i = 0; i < N; i++)
		sum += c[i][(i * 31) % N];
	return sum;
}

static unsigned primes(void)
{
	unsigned count = 0;

	memset(sieve, 1, sizeof sieve);
	for (unsigned i = 2; i < SIEVE; i++) {
		if (!sieve[i])
			continue;
		count++;
		for (unsigned j = i * 2; j < SIEVE; j += i)
			sieve[j] = 0;
	}
	return count;
}

/* FNV-1a, and a histogram, over text that changes from round to round. */
static uint64_t hash(unsigned round)
{
	uint32_t histogram[256] = {0};
	uint64_t h = 0xcbf29ce484222325u;

	for (unsigned i = 0; i < TEXT; i++)
		text[i] = (uint8_t)(i * 2654435761u >> 13) ^ (uint8_t)round;
	for (unsigned i = 0; i < TEXT; i++) {
		h = (h ^ text[i]) * 0x100000001b3u;
		histogram[text[i]]++;
	}
	for (unsigned i = 0; i < 256; i++)
		h = (h ^ histogram[i]) * 0x100000001b3u;
	return h;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	double product = 0;
	unsigned count = 0;
	uint64_t h = 0;

	for (unsigned i = 0; i < rounds; i++) {
		product += multiply(i);
		count += primes();
		h = h * 31 + hash(i);
	}
	printf("%.0f %u %016llx\n", product, count, (unsigned long long)h);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * Three threads that have called themselves 1, 2 and 3 times when they meet.
 */
#include <pthread.h>

static pthread_barrier_t meeting;

static void all_here(void)
{
}

static int dive(int depth)
{
	char room[200];

	room[0] = (char)depth;
	if (depth > 0)
		return dive(depth - 1) + room[0];
	if (pthread_barrier_wait(&meeting) == PTHREAD_BARRIER_SERIAL_THREAD)
		all_here();
	pthread_barrier_wait(&meeting);
	return room[0];
}

static void *work(void *levels)
{
	dive((int)(long)levels);
	return NULL;
}

int main(void)
{
	pthread_t threads[3];

	pthread_barrier_init(&meeting, NULL, 3);
	for (long i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, work, (void *)(i + 1));
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

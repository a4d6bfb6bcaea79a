// SPDX-License-Identifier: MIT
// A C++ program whose memory comes through operator new: containers, threads, thread_local destructors, over-aligned
// types, bad_alloc. Prints sums that do not depend on the allocator.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

struct alignas(256) Wide {
	char bytes[300];
};

struct Tls {
	std::vector<std::string> words;
	~Tls()
	{
		std::string all;
		for (auto &w : words)
			all += w;
		words.clear();
		words.push_back(all);
	}
};

static thread_local Tls tls;

static std::uint64_t work(unsigned seed)
{
	std::map<std::string, std::vector<int>> tree;
	std::unordered_map<int, std::unique_ptr<std::list<double>>> hash;
	std::uint64_t sum = 0, x = seed;

	for (int i = 0; i < 20000; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		std::string key = "key " + std::to_string(x >> 52);
		tree[key].push_back(i);
		auto &list = hash[(int)(x >> 54)];
		if (!list)
			list = std::make_unique<std::list<double>>();
		list->push_back(i);
		if (list->size() > 20)
			hash.erase((int)(x >> 54));
		tls.words.push_back(key);
		if (tls.words.size() > 500)
			tls.words.clear();
	}
	for (auto &[key, values] : tree)
		sum += key.size() * values.size() + (std::uint64_t)values.back();
	for (auto &entry : hash)
		sum += entry.second->size();
	return sum;
}

int main()
{
	std::vector<std::thread> threads;
	std::vector<std::uint64_t> sums(4);

	for (unsigned i = 0; i < 4; i++)
		threads.emplace_back([i, &sums] { sums[i] = work(i + 1); });
	for (auto &t : threads)
		t.join();
	for (auto s : sums)
		std::printf("%llu\n", (unsigned long long)s);

	std::vector<std::unique_ptr<Wide>> wide;
	bool aligned = true;
	for (int i = 0; i < 1000; i++) {
		wide.push_back(std::make_unique<Wide>());
		aligned = aligned && reinterpret_cast<std::uintptr_t>(wide.back().get()) % 256 == 0;
	}
	std::printf("aligned %d\n", aligned);

	try {
		std::size_t n = std::numeric_limits<std::ptrdiff_t>::max();
		volatile char *p = new char[n - 100];
		p[0] = 1;
		std::puts("no exception");
	} catch (const std::bad_alloc &) {
		std::puts("bad_alloc");
	}
	char *none = new (std::nothrow) char[std::numeric_limits<std::ptrdiff_t>::max() / 2];
	std::printf("nothrow %d\n", none == nullptr);
	return 0;
}

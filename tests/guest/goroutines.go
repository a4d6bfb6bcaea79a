// SPDX-License-Identifier: MIT
// Goroutines, channels, mutexes and garbage: the collector runs many times, and every result is the same on every run.
package main

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sort"
	"sync"
)

type node struct {
	left, right *node
	value       int
}

func tree(depth, value int) *node {
	if depth == 0 {
		return &node{nil, nil, value}
	}
	return &node{tree(depth-1, 2*value), tree(depth-1, 2*value+1), value}
}

func (n *node) sum() int {
	if n == nil {
		return 0
	}
	return n.value + n.left.sum() + n.right.sum()
}

func main() {
	runtime.GOMAXPROCS(4)
	jobs, results := make(chan int), make(chan [2]int, 8)
	var group sync.WaitGroup
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := range jobs {
				h := sha256.Sum256([]byte(fmt.Sprint("job ", j)))
				results <- [2]int{j, tree(9, j).sum() + int(h[0])}
			}
		}()
	}
	go func() {
		for j := 0; j < 200; j++ {
			jobs <- j
		}
		close(jobs)
		group.Wait()
		close(results)
	}()
	var all [][2]int
	for r := range results {
		all = append(all, r)
	}
	sort.Slice(all, func(i, j int) bool { return all[i][0] < all[j][0] })
	total := 0
	for _, r := range all {
		total = total*31 + r[1]
	}
	fmt.Println(len(all), total)

	var mutex sync.Mutex
	counts := map[int]int{}
	for w := 0; w < 16; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			for i := 0; i < 500; i++ {
				mutex.Lock()
				counts[(i*w)%97]++
				mutex.Unlock()
			}
		}(w)
	}
	group.Wait()
	sum := 0
	for k, v := range counts {
		sum += k * v
	}
	fmt.Println(len(counts), sum)

	kept := make([][]byte, 0, 64)
	for i := 0; i < 3000; i++ {
		b := make([]byte, 16<<10)
		b[i] = byte(i)
		if i%100 == 0 {
			kept = append(kept, b)
		}
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println(len(kept), m.NumGC > 3, m.HeapAlloc < 32<<20)
	defer func() { fmt.Println("recovered:", recover()) }()
	var nothing *node
	fmt.Println(nothing.value)
}

// SPDX-License-Identifier: MIT

// tests/guest/println.go: the program of the document: the address of a variable, the same on each run. R5.
package main

func main() {
	x := 0
	println(&x)
}

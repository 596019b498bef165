// Package chaos holds no code, only tests that treat a running sited badly: the
// real binary is killed in the middle of things, its disk is filled, its
// configuration is edited at random. Each test has a short form, which go test
// runs, and a long one, which its flags ask for.
package chaos

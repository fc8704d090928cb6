// Package compose has files for docker compose, and the test that starts what
// they say.
package compose

module github.com/fsmesh/fsmesh/bench

go 1.26.0

require (
	github.com/fsmesh/fsmesh v0.0.0
	github.com/google/pprof v0.0.0-20261105003125-4bf881d7fb0b
	github.com/looplab/fsm v1.0.3
	github.com/qmuntal/stateless v1.7.2
)

require (
	github.com/google/uuid v1.6.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace github.com/fsmesh/fsmesh => ../

package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"

	"github.com/fsmesh/fsmesh/fsm"
	"github.com/fsmesh/fsmesh/mesh"
)

// mirror tells the broker what the runtimes of the mesh tell.
func (s *session) mirror(batches iter.Seq2[*mesh.Batch, error]) {
	var frames []Frame
	var types stateTypesOf
	for b, err := range batches {
		if err != nil {
			if errors.Is(err, fsm.ErrLagged) {
				s.b.counts.add(countLagged, 1)
				s.tellAnew() // so that those who can't tell learn what they missed
			}
			continue
		}
		o, ok := s.shown(b.RuntimeID)
		if !ok {
			continue
		}
		o.info.Component = b.Component
		frames = s.noticeFrames(frames[:0], &o, b.Notices)
		s.outbox.push(frames...)
		if !s.c.External {
			continue
		}
		of := types.of(&o.info)
		for i := range b.Notices {
			n := &b.Notices[i]
			s.publishEvent(&mesh.Told{RuntimeID: b.RuntimeID, Component: b.Component, Notice: *n}, of(n.Machine, n.State))
		}
	}
}

// stateTypesOf has the types of the states of the last runtime that was asked about.
type stateTypesOf struct {
	definition json.RawMessage
	types      func(machine, state string) string
}

func (t *stateTypesOf) of(info *mesh.RuntimeInfo) func(machine, state string) string {
	if t.types == nil || !bytes.Equal(t.definition, info.Definition) {
		t.definition, t.types = info.Definition, stateTypes(info.Definition)
	}
	return t.types
}

// noticeFrames adds the frames of notices, in all dialects that have the kind. Those
// of one call share a buffer.
func (s *session) noticeFrames(frames []Frame, o *outer, notices []mesh.Notice) []Frame {
	size := 0
	for i := range notices {
		size += noticeBytes(&notices[i])
	}
	var buf []byte
	for i := range notices {
		n := &notices[i]
		c := of(Kind(n.Kind))
		if c == nil || !c.Out || !s.b.dialects.mirrors(c) {
			continue
		}
		if buf == nil {
			buf = make([]byte, 0, size*s.b.dialects.speaks())
		}
		begin := len(buf)
		var whole []byte // of the first dialect, without the last brace
		for d, name := range c.Names {
			if name == "" || s.b.dialects.off[d] {
				continue
			}
			at := len(buf)
			if whole == nil {
				buf = appendNotice(buf, o, n, s.b.id)
				whole = buf[begin:len(buf):len(buf)]
				buf = append(buf, '}')
			} else {
				buf = append(append(buf, whole...), `,"copy":true}`...)
			}
			frames = append(frames, Frame{name, buf[at:len(buf):len(buf)]})
		}
	}
	if s.c.DryRun != nil {
		for _, f := range frames {
			s.c.DryRun(f)
		}
		return frames[:0]
	}
	return frames
}

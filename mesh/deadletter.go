package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/fsmesh/fsmesh/fsm"
)

// A DeadLetter is an effect that a runtime gave up, with where it lies.
type DeadLetter struct {
	RuntimeID string `json:"runtimeId"`
	Component string `json:"componentName"` // that sent it
	fsm.DeadLetter
}

// deadMost is the most dead letters in one answer.
const deadMost = 1000

// DeadLetters returns the effects that runtimes of a component, or ("") of all,
// gave up because nobody took them, those of one runtime after those of another,
// the oldest first. What it returns is not all if there is a *MissingError.
func (c *Client) DeadLetters(ctx context.Context, component string) (_ []DeadLetter, err error) {
	defer c.did(CallDeadLetters, time.Now(), &err)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	hosts, err := c.hosts(ctx, component, time.Now())
	if err != nil {
		return nil, err
	}
	var all []DeadLetter
	var missing []string
	for _, h := range hosts.gone {
		missing = append(missing, h.label())
	}
	for _, h := range hosts.live {
		for after := uint64(0); ; {
			out, err := c.request(ctx, c.bus.subjects.runtime(h.RuntimeID, "command"), &Command{Do: doDeadLetters, After: after})
			if err != nil {
				missing = append(missing, h.label())
				break
			}
			for _, d := range out.Dead {
				all = append(all, DeadLetter{h.RuntimeID, h.Component, d})
				after = d.Effect.Seq
			}
			if !out.More || len(out.Dead) == 0 {
				break
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return all, &MissingError{missing}
	}
	return all, nil
}

// Resend puts a dead letter back among what waits for its receiver. It fails
// with fsm.ErrUnknownInstance if there is no such dead letter any more, with
// ErrNoAnswer, ErrGone and ErrNotConnected.
func (c *Client) Resend(ctx context.Context, d DeadLetter) (err error) {
	defer c.did(CallResend, time.Now(), &err)
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	_, err = c.request(ctx, c.bus.subjects.runtime(d.RuntimeID, "command"), &Command{Do: doResend, Record: &d.Effect.Record, N: d.Effect.Effect.N})
	return err
}

// deadLetters answers with the dead letters of a component that have a higher
// number than the last one that the asker has.
func (a *Attachment) deadLetters(component string, c *Command) (*Outcome, error) {
	dead := slices.DeleteFunc(a.rt.DeadLetters(), func(d fsm.DeadLetter) bool {
		return d.Effect.Effect.Source != component || d.Effect.Seq <= c.After
	})
	slices.SortFunc(dead, func(x, y fsm.DeadLetter) int { return cmp.Compare(x.Effect.Seq, y.Effect.Seq) })
	out, size := &Outcome{}, 0
	for i := range dead {
		b, err := json.Marshal(&dead[i])
		if err != nil {
			return nil, err
		}
		if size += len(b); i > 0 && size > MaxReply || i == deadMost {
			out.More = true
			break
		}
		out.Dead = append(out.Dead, dead[i])
	}
	return out, nil
}

func (a *Attachment) resend(component string, c *Command) error {
	if c.Record == nil {
		return &fsm.Error{Code: fsm.CodeBadValue, Component: component, Detail: "the command names no dead letter"}
	}
	if !a.rt.ResendDeadLetter(*c.Record, c.N) {
		return &fsm.Error{Code: fsm.CodeUnknownInstance, Component: component, Instance: c.Record.Instance, Detail: "there is no dead letter of it, or it was sent again already"}
	}
	return nil
}

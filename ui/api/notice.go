package api

import (
	"encoding/json"

	"github.com/fsmesh/fsmesh/mesh"
)

// A notice is one in the form that leaves the mesh: the ancestor's envelope,
// with what is added to it.
type notice struct {
	RuntimeID string     `json:"runtimeId"`
	Component string     `json:"componentName"`
	Kind      mesh.Kind  `json:"eventType"`
	Data      noticeData `json:"data"`
	Timestamp int64      `json:"timestamp"` // Unix ms
	ID        string     `json:"id,omitempty"`
	Seq       uint64     `json:"seq,omitempty"`
	Version   uint64     `json:"version,omitempty"`
	Part      int        `json:"part,omitempty"`
	Key       string     `json:"key,omitempty"`
}

// noticeData has the fields that belong to the kind.
type noticeData struct {
	Instance        string          `json:"instanceId,omitempty"`
	Machine         string          `json:"machineName,omitempty"`
	Current         string          `json:"currentState,omitempty"`
	Previous        *string         `json:"previousState,omitempty"`
	New             string          `json:"newState,omitempty"`
	Final           string          `json:"finalState,omitempty"`
	Status          mesh.Status     `json:"status,omitempty"`
	Event           *mesh.Event     `json:"event,omitempty"`
	Context         json.RawMessage `json:"context,omitempty"`
	PublicMember    json.RawMessage `json:"publicMember,omitempty"`
	PendingTimeouts json.RawMessage `json:"pendingTimeouts,omitempty"`
	Parent          string          `json:"parentInstanceId,omitempty"`
	Error           string          `json:"error,omitempty"`
}

func noticeOf(t *mesh.Told) notice {
	d := noticeData{
		Instance: t.Instance, Machine: t.Machine, Event: t.Event, Context: t.Context, PublicMember: t.PublicMember,
		PendingTimeouts: t.PendingTimeouts, Parent: t.Parent, Error: t.Error,
	}
	switch t.Kind {
	case mesh.KindStateChange:
		d.Previous, d.New = &t.Previous, t.State
	case mesh.KindCompleted:
		d.Final, d.Status = t.State, t.Notice.Row().Status
	default:
		d.Current = t.State
	}
	return notice{
		RuntimeID: t.RuntimeID, Component: t.Component, Kind: t.Kind, Data: d, Timestamp: t.Timestamp,
		ID: t.ID, Seq: t.Seq, Version: t.Version, Part: t.Part, Key: t.Key,
	}
}

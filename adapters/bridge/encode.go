package bridge

import (
	"cmp"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/fsmesh/fsmesh/mesh"
)

// appendNotice writes the body of a notice of the mesh as fromNotice and Encode do,
// much faster: it is the one that comes in great numbers. It leaves the last brace
// off, so that more can be added. What is JSON in the notice has to be valid.
func appendNotice(w []byte, o *outer, n *mesh.Notice, origin string) []byte {
	w = append(w, `{"runtimeId":`...)
	w = appendString(w, o.info.RuntimeID)
	w = appendText(w, `,"componentName":`, o.info.Component)
	w = appendText(w, `,"eventType":`, string(n.Kind))
	w = append(w, `,"data":{"instanceId":`...)
	w = appendString(w, n.Instance)
	w = append(w, `,"machineName":`...)
	w = appendString(w, n.Machine)
	numbered := n.Kind.Numbered()
	switch n.Kind {
	case mesh.KindStateChange:
		w = appendText(w, `,"previousState":`, cmp.Or(n.Previous, n.State))
		w = appendText(w, `,"newState":`, n.State)
	case mesh.KindCompleted:
		w = appendText(w, `,"finalState":`, n.State)
	default:
		w = appendText(w, `,"currentState":`, n.State)
	}
	if e := n.Event; e != nil && n.Kind != mesh.KindCreated && n.Kind != mesh.KindCompleted {
		w = append(w, `,"event":{"type":`...)
		w = appendString(w, e.Type)
		w = appendRaw(w, `,"payload":`, or(e.Payload, nothing))
		w = appendNumber(w, `,"timestamp":`, cmp.Or(e.Timestamp, n.Timestamp))
		w = appendText(w, `,"_sourceComponent":`, e.SourceComponent)
		w = appendText(w, `,"id":`, e.ID)
		w = append(w, '}')
	}
	if numbered {
		w = appendRaw(w, `,"context":`, merged(n.Context, n.PublicMember))
	}
	if n.Kind == mesh.KindStateChange {
		w = appendRaw(w, `,"pendingTimeouts":`, or(n.PendingTimeouts, none))
	}
	if numbered {
		w = appendRaw(w, `,"publicMember":`, n.PublicMember)
	}
	if n.Kind == mesh.KindCompleted && n.Status == mesh.Failed {
		w = appendText(w, `,"status":`, string(n.Status))
	}
	w = appendText(w, `,"error":`, n.Error)
	w = appendText(w, `,"parentInstanceId":`, n.Parent)
	w = append(w, `},"timestamp":`...)
	w = strconv.AppendInt(w, n.Timestamp, 10)
	w = append(w, `,"id":`...)
	if n.ID != "" {
		w = appendString(w, n.ID)
	} else {
		w = append(appendID(append(w, '"')), '"')
	}
	w = append(append(append(w, `,"origin":"`...), origin...), '"')
	w = appendNumber(w, `,"hops":`, int64(o.hops))
	if n.Seq != 0 {
		w = append(w, `,"seq":`...)
		w = strconv.AppendUint(w, n.Seq, 10)
	}
	w = appendNumber(w, `,"version":`, int64(n.Version))
	w = appendNumber(w, `,"part":`, int64(n.Part))
	return appendText(w, `,"key":`, n.Key)
}

// noticeBytes is about how many bytes appendNotice writes.
func noticeBytes(n *mesh.Notice) int {
	size := 512 + len(n.Instance) + len(n.Context) + 2*len(n.PublicMember) + len(n.PendingTimeouts) + len(n.Error) + len(n.Key)
	if n.Event != nil {
		size += len(n.Event.Payload)
	}
	return size
}

// appendText adds a field unless it is empty.
func appendText(w []byte, name, s string) []byte {
	if s == "" {
		return w
	}
	return appendString(append(w, name...), s)
}

func appendNumber(w []byte, name string, n int64) []byte {
	if n == 0 {
		return w
	}
	return strconv.AppendInt(append(w, name...), n, 10)
}

func appendRaw(w []byte, name string, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return w
	}
	return append(append(w, name...), raw...)
}

// appendString writes a string; one with anything special in it as the standard
// library does.
func appendString(w []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(w, `""`...) // a string always can be
			}
			return append(w, quoted...)
		}
	}
	return append(append(append(w, '"'), s...), '"')
}

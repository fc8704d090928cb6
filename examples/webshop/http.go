package main

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"mime"
	"net/http"
	"strconv"

	"github.com/fsmesh/fsmesh/ui/api"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 64 << 10

// routes are those of the shop.
func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.postOrder)
	mux.HandleFunc("GET /orders/{id}", s.withID(func(r *http.Request, id int64) (*order, error) { return s.get(r.Context(), id) }))
	mux.HandleFunc("POST /orders/{id}/{event}", s.withID(func(r *http.Request, id int64) (*order, error) {
		return s.send(r.Context(), id, r.PathValue("event"))
	}))
	return http.NewCrossOriginProtection().Handler(mux)
}

func (s *shop) postOrder(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		answer(w, http.StatusUnsupportedMediaType, map[string]string{"error": "give application/json"})
		return
	}
	var body struct {
		Customer string  `json:"customer"`
		Amount   float64 `json:"amount"`
	}
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&body); err != nil || body.Customer == "" || body.Amount < 0 {
		answer(w, http.StatusBadRequest, map[string]string{"error": `give {"customer": "a name", "amount": 0 or more}`})
		return
	}
	o, err := s.create(r.Context(), body.Customer, body.Amount)
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusCreated, o)
}

// withID makes a handler of what is about one order.
func (s *shop) withID(do func(*http.Request, int64) (*order, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			answer(w, http.StatusNotFound, map[string]string{"error": fmt.Sprintf("%q is no number of an order", r.PathValue("id"))})
			return
		}
		o, err := do(r, id)
		if err != nil {
			fail(w, err)
			return
		}
		answer(w, http.StatusOK, o)
	}
}

// fail answers with the status that the code of an error stands for: an event that
// the state ignores is 409, and says what is accepted.
func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, sql.ErrNoRows) {
		answer(w, http.StatusNotFound, map[string]string{"error": "there is no such order"})
		return
	}
	m := api.Mean(api.CodeOf(err))
	if m.Status >= http.StatusInternalServerError {
		log.Print(err)
		err = errors.New(m.Title) // what went wrong inside is not for customers
	}
	answer(w, m.Status, map[string]string{"error": err.Error(), "code": string(m.Code)})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked may be gone
}

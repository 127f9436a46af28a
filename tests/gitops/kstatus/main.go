// Say what kstatus makes of objects: a JSON array of them in, an array of {status, message} out.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apijson "k8s.io/apimachinery/pkg/util/json"
)

type answer struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if err := answerAll(); err != nil {
		fmt.Fprintln(os.Stderr, "kstatus:", err)
		os.Exit(1)
	}
}

func answerAll() error {
	var raw []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&raw); err != nil {
		return fmt.Errorf("standard input has to be a JSON array of objects: %w", err)
	}
	answers := make([]answer, 0, len(raw))
	for _, text := range raw {
		// Not encoding/json: kstatus asks for whole numbers, which that reads as floats.
		object := map[string]any{}
		if err := apijson.Unmarshal(text, &object); err != nil {
			return err
		}
		result, err := status.Compute(&unstructured.Unstructured{Object: object})
		if err != nil {
			return err
		}
		answers = append(answers, answer{result.Status.String(), result.Message})
	}
	return json.NewEncoder(os.Stdout).Encode(answers)
}

// The same as transfer.py with Go's own client.
//
//	http HOST
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	url := "https://" + os.Args[1]

	down, _ := ask("GET", url+"/ok/down", nil)
	hash := sha256.New()
	if _, err := io.Copy(hash, down.Body); err != nil {
		fail(err)
	}
	fmt.Printf("%d.%d %x\n", down.ProtoMajor, down.ProtoMinor, hash.Sum(nil))

	file, err := os.Open("up")
	if err != nil {
		fail(err)
	}
	_, said := ask("PUT", url+"/ok/up", file)
	fmt.Printf("%s\n", said())

	no, refusal := ask("GET", url+"/no", nil)
	var problem struct{ Reason string }
	if err := json.Unmarshal(refusal(), &problem); err != nil {
		fail(err)
	}
	fmt.Println(no.StatusCode, problem.Reason)
}

func ask(method, url string, body io.Reader) (*http.Response, func() []byte) {
	request, err := http.NewRequest(method, url, body)
	if err != nil {
		fail(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("LAB_TOKEN"))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		fail(err)
	}
	return answer, func() []byte {
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			fail(err)
		}
		return text
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

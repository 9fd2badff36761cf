"""The service as it meets the wire: requests in, responses and statuses out."""

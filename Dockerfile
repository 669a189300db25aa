# Built by "make image", which puts a static binary and the root certificates of
# public CAs into the context. Nothing else is needed inside, and no base image.
FROM scratch

COPY bin/acme_exporter /bin/acme_exporter
COPY bin/image/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE /LICENSE
# Account keys and last results; mount a volume here to keep them.
COPY --chown=65534:65534 bin/image/state /var/lib/acme_exporter

ENV STATE_DIRECTORY=/var/lib/acme_exporter
USER 65534:65534
EXPOSE 18555
ENTRYPOINT ["/bin/acme_exporter"]

ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY --chmod=0755 weed /usr/bin/weed
COPY --chmod=0755 wget.py /usr/bin/wget
RUN mkdir /data
VOLUME /data
EXPOSE 8333
ENTRYPOINT ["/usr/bin/weed", "-logtostderr"]
CMD ["mini", "-dir=/data", "-ip.bind=0.0.0.0", "-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false", \
     "-master.telemetry=false"]

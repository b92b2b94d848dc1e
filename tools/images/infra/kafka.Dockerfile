ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY java /opt/java
COPY libs /opt/kafka/libs
COPY --chmod=0755 kafka_start.py /opt/kafka/start
COPY --chmod=0755 kafka_answers.py /opt/kafka/bin/kafka-broker-api-versions.sh
RUN useradd --uid 1000 --home-dir /tmp --no-create-home appuser \
 && mkdir -p /var/lib/kafka/data \
 && chown -R 1000:1000 /var/lib/kafka
USER 1000:1000
VOLUME /var/lib/kafka/data
EXPOSE 9092
ENTRYPOINT ["/opt/kafka/start"]

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PORTRAIT: _ClassVar[Role]
    ROLE_SPEECH: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_PORTRAIT: Role
ROLE_SPEECH: Role

class UploadFileRequest(_message.Message):
    __slots__ = ("role", "data")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    role: Role
    data: bytes
    def __init__(self, role: _Optional[_Union[Role, str]] = ..., data: _Optional[bytes] = ...) -> None: ...

class InputReference(_message.Message):
    __slots__ = ("bucket", "key", "sha256", "size")
    BUCKET_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    bucket: str
    key: str
    sha256: str
    size: int
    def __init__(self, bucket: _Optional[str] = ..., key: _Optional[str] = ..., sha256: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("portrait", "speech", "engine", "job_id", "idempotency_key", "params", "engine_params", "labels", "lane", "fields")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    SPEECH_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_PARAMS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    portrait: InputReference
    speech: InputReference
    engine: str
    job_id: str
    idempotency_key: str
    params: _struct_pb2.Struct
    engine_params: _struct_pb2.Struct
    labels: _containers.ScalarMap[str, str]
    lane: str
    fields: _struct_pb2.Struct
    def __init__(self, portrait: _Optional[_Union[InputReference, _Mapping]] = ..., speech: _Optional[_Union[InputReference, _Mapping]] = ..., engine: _Optional[str] = ..., job_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., engine_params: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., labels: _Optional[_Mapping[str, str]] = ..., lane: _Optional[str] = ..., fields: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("job_id", "tenant", "trace_id", "is_repeat")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    IS_REPEAT_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    tenant: str
    trace_id: str
    is_repeat: bool
    def __init__(self, job_id: _Optional[str] = ..., tenant: _Optional[str] = ..., trace_id: _Optional[str] = ..., is_repeat: _Optional[bool] = ...) -> None: ...

class GetRenderRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("name", "state", "percent", "seconds", "cached")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PERCENT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    CACHED_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    percent: float
    seconds: float
    cached: bool
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., percent: _Optional[float] = ..., seconds: _Optional[float] = ..., cached: _Optional[bool] = ...) -> None: ...

class Warning(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Render(_message.Message):
    __slots__ = ("job_id", "tenant", "status", "engine", "trace_id", "first_ms", "last_ms", "stages", "warnings", "labels", "code", "message", "json")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_MS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    tenant: str
    status: str
    engine: str
    trace_id: str
    first_ms: int
    last_ms: int
    stages: _containers.RepeatedCompositeFieldContainer[Stage]
    warnings: _containers.RepeatedCompositeFieldContainer[Warning]
    labels: _containers.ScalarMap[str, str]
    code: str
    message: str
    json: _struct_pb2.Struct
    def __init__(self, job_id: _Optional[str] = ..., tenant: _Optional[str] = ..., status: _Optional[str] = ..., engine: _Optional[str] = ..., trace_id: _Optional[str] = ..., first_ms: _Optional[int] = ..., last_ms: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[Stage, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[Warning, _Mapping]]] = ..., labels: _Optional[_Mapping[str, str]] = ..., code: _Optional[str] = ..., message: _Optional[str] = ..., json: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("job_id", "after")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    after: str
    def __init__(self, job_id: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class Update(_message.Message):
    __slots__ = ("id", "type", "render", "event", "is_last")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    RENDER_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    IS_LAST_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    render: Render
    event: _struct_pb2.Struct
    is_last: bool
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., render: _Optional[_Union[Render, _Mapping]] = ..., event: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., is_last: _Optional[bool] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    def __init__(self, job_id: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: str
    def __init__(self, status: _Optional[str] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("job_id", "file")
    class File(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        FILE_UNSPECIFIED: _ClassVar[FetchRequest.File]
        FILE_VIDEO: _ClassVar[FetchRequest.File]
        FILE_POSTER: _ClassVar[FetchRequest.File]
    FILE_UNSPECIFIED: FetchRequest.File
    FILE_VIDEO: FetchRequest.File
    FILE_POSTER: FetchRequest.File
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    file: FetchRequest.File
    def __init__(self, job_id: _Optional[str] = ..., file: _Optional[_Union[FetchRequest.File, str]] = ...) -> None: ...

class FetchResponse(_message.Message):
    __slots__ = ("header", "data")
    class Header(_message.Message):
        __slots__ = ("size", "sha256", "media_type")
        SIZE_FIELD_NUMBER: _ClassVar[int]
        SHA256_FIELD_NUMBER: _ClassVar[int]
        MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
        size: int
        sha256: str
        media_type: str
        def __init__(self, size: _Optional[int] = ..., sha256: _Optional[str] = ..., media_type: _Optional[str] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: FetchResponse.Header
    data: bytes
    def __init__(self, header: _Optional[_Union[FetchResponse.Header, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

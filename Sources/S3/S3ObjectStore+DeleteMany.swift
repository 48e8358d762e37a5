import Bytes
import HTTPTransport
import ObjectStore

extension S3ObjectStore {
    /// Deletes many objects, whatever version they are; 1,000 a request. Keys that were not there count as deleted.
    ///
    /// Returns the keys that were refused, with the reason for each. Throws when a request failed as a whole; what
    /// earlier requests deleted stays deleted.
    public func deleteMany(
        _ keys: [ObjectKey], _ context: RequestContext
    ) async throws(ObjectStoreError) -> [(key: ObjectKey, error: ObjectStoreError)] {
        var refused: [(key: ObjectKey, error: ObjectStoreError)] = []
        for start in stride(from: 0, to: keys.count, by: 1000) {
            refused += try await deletePage(keys[start..<min(start + 1000, keys.count)], context)
        }
        return refused
    }

    private func deletePage(
        _ keys: ArraySlice<ObjectKey>, _ context: RequestContext
    ) async throws(ObjectStoreError) -> [(key: ObjectKey, error: ObjectStoreError)] {
        var text = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
        for key in keys { text += "<Object><Key>\(XMLText.escape(key.description))</Key></Object>" }
        var call = S3Call(.deleteMany, nil, .post)
        call.query = [("delete", "")]
        call.body = ByteSlice(Array((text + "</Delete>").utf8))
        call.headers = [("Content-Type", "application/xml"), checksumHeader(call.body)]
        call.answersWithDocument = true
        // Each key may come back with a reason.
        call.answerLimit = 8 << 20
        let (response, document) = try call.answer(await perform(call, context), bucket: bucket)
        guard let document, document.root == "DeleteResult" else {
            throw call.invalid(
                "the answer is no list of results.", bucket: bucket, requestID: response["x-amz-request-id"])
        }
        return document.children.compactMap { child in
            guard child.name == "Error", let key = child.fields["Key"].flatMap({ ObjectKey($0) }) else { return nil }
            let refusal = Refusal(child.fields, status: response.status, requestID: response["x-amz-request-id"])
            return (key, S3Call(.delete, key, .delete).error(refusal, bucket: bucket))
        }
    }
}
